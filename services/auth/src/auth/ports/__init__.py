"""What auth's services need from the outside. Each method of a store is one transaction, its events included."""
