"""The actions that come with queenright, one verb a file. They run in executors."""
