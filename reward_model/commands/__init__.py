"""One module a ``finrm`` command: ``main(arguments) -> int`` parses, calls one function, prints."""
