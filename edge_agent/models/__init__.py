"""Model files: the catalog, downloads, the check of a GGUF before llama.cpp sees it, and how much memory it needs.

Runs on whatever thread calls it (start-up and the command line); nothing here touches the event loop or llama.cpp.
"""
