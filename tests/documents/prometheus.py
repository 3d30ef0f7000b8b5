"""What the blocks of docs/prometheus.md take for granted. Needs: prometheus_client."""
