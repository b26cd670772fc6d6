// SPDX-License-Identifier: Apache-2.0
// Starts a program of a bundle (launch/bundle.sh) with the bundle's own loader and libraries,
// wherever the bundle lies. Linked statically, it needs nothing of the machine but its kernel; a
// copy of it stands in bin/ for every program, and libexec/ holds the program of that name.
#include <limits.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

std::string OwnPath(const char* argv0) {
  char path[PATH_MAX + 1] = "";
  ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
  if (n > 0) return std::string(path, n);
  // Without /proc: by the name that it was started with.
  if (strchr(argv0, '/') != nullptr && realpath(argv0, path) != nullptr) return path;
  return "";
}

std::string Parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

int main(int argc, char** argv) {
  const std::string self = OwnPath(argv[0]);
  if (self.empty()) {
    std::fprintf(stderr, "cannot find the bundle: start %s by its path\n", argv[0]);
    return 127;
  }
  const std::string name = self.substr(self.rfind('/') + 1);
  const std::string root = Parent(Parent(self)), lib = root + "/lib";
  const auto set = [](const char* variable, const std::string& value) {
    setenv(variable, value.c_str(), 0);
  };
  // Where Open MPI and PMIx have been moved to.
  set("OPAL_PREFIX", root);
  set("OPAL_LIBDIR", lib);
  set("OPAL_PKGLIBDIR", lib + "/openmpi");
  set("OPAL_DATADIR", root + "/share");
  set("OPAL_PKGDATADIR", root + "/share/openmpi");
  set("OPAL_SYSCONFDIR", root + "/etc");
  set("OMPI_MCA_mca_base_component_path", lib + "/openmpi");
  set("PMIX_INSTALL_PREFIX", root);
  set("PMIX_MCA_mca_base_component_path", lib + "/pmix");
  set("PMIX_PKGDATADIR", root + "/share/pmix");
  set("OMPI_MCA_plm", "isolated");  // mpirun starts ranks on its own host
  set("HWLOC_HIDE_ERRORS", "2");
  set("HOME", "/");  // PMIx looks for a user's home, and crashes where there are no users

  std::string libraries = lib;
  if (const char* more = getenv("LD_LIBRARY_PATH")) libraries += std::string(":") + more;
  const std::string loader = lib + "/ld-linux-x86-64.so.2", program = root + "/libexec/" + name;
  std::vector<std::string> words = {loader,    "--library-path", libraries,
                                    "--argv0", argv[0],          program};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  for (int i = 1; i < argc; ++i) arguments.push_back(argv[i]);
  arguments.push_back(nullptr);
  execv(loader.c_str(), arguments.data());
  std::perror(loader.c_str());
  return 127;
}
