"""The graph: its dimensions, types, nodes, rules, text, and the passes that rewrite it."""
