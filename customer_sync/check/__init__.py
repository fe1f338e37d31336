"""The check command: settings and services, before a first run."""
