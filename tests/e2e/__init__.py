"""The whole product as a user starts it, against real peers and the real model."""
