"""What release this is; all that names a version takes it from here."""

VERSION = "0.1.0"
