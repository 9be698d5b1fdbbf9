"""Installing other people's plugins, starting one of your own, and a look at the installation."""
