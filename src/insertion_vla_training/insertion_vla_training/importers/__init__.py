"""Other people's recordings as bags of this workspace, one module per format; see docs/importing.md."""
