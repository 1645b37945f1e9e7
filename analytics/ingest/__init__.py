"""From the topics' messages to rows, exactly once in effect."""
