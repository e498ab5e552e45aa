"""Light curves as columns: summaries, bins, files."""
