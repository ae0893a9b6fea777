"""The engine process: one intake thread, one step loop, llama.cpp, and nothing of the network or of telemetry."""
