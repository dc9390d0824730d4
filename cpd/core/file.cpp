#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

namespace cpd {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Removes what processes that were killed in the middle have left beside a file.
void remove_stale(const std::string& target) {
  namespace fs = std::filesystem;
  const std::string begin = fs::path(target).filename().string() + ".part";
  std::error_code ignored;
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder_of(target), ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begin)) continue;
    pid_t process = 0;
    const char* last = name.data() + name.size();
    const auto [end, error] = std::from_chars(name.data() + begin.size(), last, process);
    if (error != std::errc() || end != last || process <= 0) continue;
    if (::kill(process, 0) != 0 && errno == ESRCH) stale.push_back(entry.path());
  }
  for (const auto& path : stale) fs::remove(path, ignored);
}

/// A file that is removed again unless it was kept. Where the file system can, it has no name until
/// then, so that nothing stays behind even if the process is killed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target)
      : target_(target), named_(target + ".part" + std::to_string(::getpid())) {
    descriptor_ = ::open(folder_of(target).c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    if (descriptor_ >= 0 && ::access(path().c_str(), F_OK) == 0) return;
    if (descriptor_ >= 0) ::close(descriptor_);
    has_name_ = true;
    descriptor_ = ::open(named_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail("cannot be written");
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    ::close(descriptor_);
    if (has_name_) ::unlink(named_.c_str());
  }

  /// Where the file can be read now.
  std::string path() const {
    return has_name_ ? named_ : "/proc/self/fd/" + std::to_string(descriptor_);
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail("could not be written to the end");
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    if (::fsync(descriptor_) != 0) fail("could not be written to the end");
  }

  void keep() {
    if (!has_name_) {
      const int flags = AT_SYMLINK_FOLLOW;
      if (::linkat(AT_FDCWD, path().c_str(), AT_FDCWD, target_.c_str(), flags) == 0) return;
      ::unlink(named_.c_str());
      if (::linkat(AT_FDCWD, path().c_str(), AT_FDCWD, named_.c_str(), flags) != 0) {
        fail("cannot be moved into place");
      }
      has_name_ = true;
    }
    if (std::rename(named_.c_str(), target_.c_str()) != 0) fail("cannot be moved into place");
    has_name_ = false;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) {
    const std::string reason = std::strerror(errno);
    throw Error(problem + ": " + reason, {.path = target_}, "a writable place with enough room");
  }

  std::string target_;
  std::string named_;
  int descriptor_ = -1;
  bool has_name_ = false;
};

}  // namespace

std::string read_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error("cannot be read: " + std::string(std::strerror(errno)), {.path = path}, "a file");
  }
  if (S_ISDIR(status.st_mode)) throw Error("is a folder", {.path = path}, "a file");
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) {
    throw Error("cannot be read: " + std::string(std::strerror(errno)), {.path = path}, "a file");
  }
  return bytes;
}

void write_file(const std::string& path, std::string_view bytes) {
  write_file(path, bytes, [](const std::string&) {});
}

void write_file(const std::string& path, std::string_view bytes,
                const std::function<void(const std::string& temporary)>& check) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    // Taking the name of a device or a folder would destroy it.
    throw Error("is no regular file", {.path = path}, "the name of a file to write");
  }
  remove_stale(path);
  TemporaryFile file(path);
  file.write(bytes);
  check(file.path());
  file.keep();
}

}  // namespace cpd
