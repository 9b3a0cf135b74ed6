"""Who this daemon is, and who else belongs: its key, a closed swarm's papers, entering one."""
