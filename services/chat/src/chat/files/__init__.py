"""Files of users: uploads, downloads, deletion, and images for models."""
