"""Scenarios in virtual time: the daemon's own core, thousands of nodes in one process.

learners  real training on one shared copy of the data, or models that learn nothing of use
backend   `SimBackend`: what the engine asks for, done to a `gossipd.simulation`
"""
