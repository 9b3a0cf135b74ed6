"""Parameters <-> flat vector <-> bytes: layout, hashes, codecs. Pure numpy."""
