#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

namespace cpd {
namespace {

/// A file that is removed again unless it was kept.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target)
      : target_(target), path_(target + ".part" + std::to_string(::getpid())) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail("cannot be written");
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!kept_) ::unlink(path_.c_str());
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail("could not be written to the end");
      bytes.remove_prefix(static_cast<size_t>(written));
    }
  }

  const std::string& path() const { return path_; }

  void close() {
    if (::fsync(descriptor_) != 0) fail("could not be written to the end");
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) fail("could not be written to the end");
  }

  void keep() {
    if (std::rename(path_.c_str(), target_.c_str()) != 0) fail("cannot be moved into place");
    kept_ = true;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) {
    const std::string reason = std::strerror(errno);
    throw Error(problem + ": " + reason, {.path = target_}, "a writable place with enough room");
  }

  std::string target_;
  std::string path_;
  int descriptor_ = -1;
  bool kept_ = false;
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
  TemporaryFile file(path);
  file.write(bytes);
  file.close();
  check(file.path());
  file.keep();
}

}  // namespace cpd
