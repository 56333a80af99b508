"""The frozen records that stages exchange, and their JSON form."""
