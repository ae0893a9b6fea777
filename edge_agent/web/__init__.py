"""The pages that a browser gets: static files, shipped in the package, with the headers that keep them harmless."""
