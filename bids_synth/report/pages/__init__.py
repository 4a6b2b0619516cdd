"""Pages: the reports of participants and of models, as HTML."""
