"""As many consumers as there is work for: starts and drains them, and kills none."""
