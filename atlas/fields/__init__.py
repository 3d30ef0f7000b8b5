"""The calls, one file a field: add yours here (docs/atlas.md says how)."""
