"""The payment provider Stripe, by its official SDK: PaymentIntents, refunds and the events of its webhooks.

`adapter` has the calls, `client` the requests and their errors, `objects` what the answers say, `amounts` the
currencies, `events` the webhooks.
"""
