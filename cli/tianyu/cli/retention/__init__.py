"""What is removed of old runs and of what broke off: by policy, and never by mistake."""
