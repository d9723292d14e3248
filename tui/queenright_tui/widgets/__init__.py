"""Line-API widgets: each draws its own lines from values it was given. None holds a connection or parses markup."""
