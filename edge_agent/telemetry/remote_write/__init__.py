"""Push of all series by Prometheus remote_write 1.0: rounds of samples, a queue and a sender for each receiver."""
