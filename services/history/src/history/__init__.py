"""History: owns conversations; stores what the events of turns say, and shows it."""

VERSION = "0.1.0"
