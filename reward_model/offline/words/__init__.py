"""The phrase material of the embedded writer and judge, as YAML files that people can read and extend."""
