"""The network that finds defects: its features, its clips, its training, its export, and fusions chosen for it."""
