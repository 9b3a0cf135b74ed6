"""Files that people begin with: real modules, so that they are checked like all others."""
