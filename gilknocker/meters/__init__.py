"""What is started and stopped: ``KnockKnock`` and ``GilTracer``, and what they stand on."""
