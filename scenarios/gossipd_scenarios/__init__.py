"""The scenario engine: a fleet of daemons, faults injected into it, checks over what happened."""
