"""What docs/prometheus.md says to write into the configuration of gunicorn."""

from prometheus_client import multiprocess

from gilknocker.integrations.prometheus import GilMetrics


def post_fork(server, worker):
    worker.gil_metrics = GilMetrics()


def worker_exit(server, worker):
    worker.gil_metrics.close()


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
