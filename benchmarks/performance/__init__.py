"""The performance page: figures kept part by part, each with its code, and put together."""
