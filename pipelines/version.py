"""The version of songscan, in one place."""

VERSION = "0.1.0"
