"""Which engine settings are fastest for this model on this machine: tried one after the other, decided, kept."""
