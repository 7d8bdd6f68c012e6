"""What every process needs: settings, the Temporal connection, logs, health, drain."""
