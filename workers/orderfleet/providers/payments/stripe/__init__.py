"""The payment provider Stripe, by its official SDK: PaymentIntents, refunds and the events of its webhooks.

`adapter` has the calls, `api` their requests, `client` the SDK and its errors, `objects` what Stripe sends, `movements`
what that says of a payment, `amounts` the currencies, `events` the webhooks.
"""
