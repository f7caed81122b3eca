"""Parts of the identification benchmark."""
