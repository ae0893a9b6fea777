import llama_cpp

from edge_agent.llama_cpp_version import llama_cpp_version


def test_the_version_is_that_of_the_installed_package() -> None:
    assert llama_cpp_version() == llama_cpp.__version__
