"""One module and one .tcss a place. Screens turn the model into lines and keys into wishes; they call nobody."""
