"""The papers' methods and constants, each a small module on the public plug-in API."""
