"""What the product is: vocabulary, engines, directory, settings and the `posthouse` command."""
