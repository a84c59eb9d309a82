"""Checks of recorded episodes and the report of them; the verb is `inspect`."""
