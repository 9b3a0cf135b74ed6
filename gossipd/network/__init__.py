"""The network: libp2p and trio live only here, behind `interface`."""
