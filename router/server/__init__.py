"""Floor 3: settings, composition, the application and its edge."""
