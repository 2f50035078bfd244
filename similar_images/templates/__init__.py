"""Every page of HTML."""
