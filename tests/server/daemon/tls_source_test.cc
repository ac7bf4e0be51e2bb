// What the daemon makes of the files of TLS, and of changes of theirs.
#include "server/daemon/tls_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/base/log.h"
#include "tests/testing/certificates.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using testing::Certificate;
using testing::CertificateAuthority;

class TlsSourceTest : public ::testing::Test {
 protected:
  TlsSourceTest()
      : files_{folder_.File("cert"), folder_.File("key"), folder_.File("ca")} {
    WritePair(good_);
    Write(files_.client_ca, ca_.certificate());
    SetLogSink([this](const LogLine& line) {
      log_.push_back(testing::LoggedText(line));
    });
  }
  ~TlsSourceTest() override { SetLogSink(nullptr); }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::trunc) << text;
  }
  void WritePair(const Certificate& pair) {
    Write(files_.certificate, pair.certificate);
    Write(files_.key, pair.key);
  }
  std::unique_ptr<TlsSource> Open() {
    auto source = TlsSource::Open(files_);
    EXPECT_TRUE(source.ok()) << source.status();
    return *std::move(source);
  }
  // The error, one line that begins with `flag` and the path.
  std::string Error(const std::string& flag, const std::string& path) {
    const auto source = TlsSource::Open(files_);
    const std::string error(source.status().message());
    EXPECT_EQ(error.rfind(flag + " " + path + ": ", 0), 0u) << error;
    EXPECT_EQ(error.find('\n'), error.npos) << error;
    return error.substr(std::min(error.size(), flag.size() + path.size() + 3));
  }
  std::string CertificateError() {
    return Error("--tls-cert", files_.certificate);
  }
  std::string KeyError() { return Error("--tls-key", files_.key); }
  std::string ClientCaError() {
    return Error("--tls-client-ca", files_.client_ca);
  }

  const testing::TemporaryFolder folder_;
  const CertificateAuthority ca_{"ca"};
  const Certificate good_ = ca_.ForServer();
  const TlsFiles files_;
  std::vector<std::string> log_;
};

TEST_F(TlsSourceTest, RefusesFilesThatCannotBeRead) {
  unlink(files_.certificate.c_str());
  EXPECT_EQ(CertificateError(), "No such file or directory");
  ASSERT_EQ(mkdir(files_.certificate.c_str(), 0700), 0);
  EXPECT_EQ(CertificateError(), "is not a regular file");
  rmdir(files_.certificate.c_str());
  // Nobody writes to it.
  ASSERT_EQ(mkfifo(files_.certificate.c_str(), 0600), 0);
  EXPECT_EQ(CertificateError(), "is not a regular file");
}

TEST_F(TlsSourceTest, RefusesWhatIsNotACertificate) {
  for (const std::string& text :
       {std::string(), std::string("text\n"), good_.key}) {
    Write(files_.certificate, text);
    EXPECT_EQ(CertificateError(), "has no certificate in PEM");
    WritePair(good_);
    Write(files_.client_ca, text);
    EXPECT_EQ(ClientCaError(), "has no certificate in PEM");
    Write(files_.client_ca, ca_.certificate());
  }
  Write(files_.certificate, good_.certificate + std::string(1, '\0'));
  EXPECT_EQ(CertificateError(), "is not PEM");
  Write(files_.certificate, std::string(5 << 20, '\n'));
  EXPECT_EQ(CertificateError(), "is too large");
}

TEST_F(TlsSourceTest, RefusesABundleThatIsCutOff) {
  const std::string& whole = ca_.certificate();
  const std::string cut = whole + whole.substr(0, whole.size() / 2);
  Write(files_.client_ca, cut);
  EXPECT_EQ(ClientCaError().rfind("has a certificate that cannot be read", 0),
            0u);
  Write(files_.client_ca, whole + whole);
  EXPECT_NE(Open(), nullptr);
}

TEST_F(TlsSourceTest, RefusesWhatIsNotTheKey) {
  Write(files_.key, good_.certificate);
  EXPECT_EQ(KeyError(), "has no private key in PEM");
  Write(files_.key, testing::Encrypted(good_.key));
  EXPECT_EQ(KeyError(), "is protected by a passphrase");
  Write(files_.key, ca_.ForServer().key);
  EXPECT_EQ(KeyError(), "does not belong to --tls-cert " + files_.certificate);
}

// The pair is that of the first certificate, as gRPC takes it.
TEST_F(TlsSourceTest, TakesTheFirstCertificateForItsOwn) {
  Write(files_.certificate, good_.certificate + ca_.certificate());
  EXPECT_NE(Open(), nullptr);
  Write(files_.certificate, ca_.certificate() + good_.certificate);
  EXPECT_EQ(KeyError(), "does not belong to --tls-cert " + files_.certificate);
}

TEST_F(TlsSourceTest, RefusesAKeyThatOpenSslFindsTooShort) {
  WritePair(testing::WithShortKey());
  EXPECT_EQ(CertificateError(), "cannot be used: ee key too small");
}

TEST_F(TlsSourceTest, GivesTheSameUntilAFileChanges) {
  const auto source = Open();
  const auto first = source->Latest();
  EXPECT_EQ(first->certificate, good_.certificate);
  EXPECT_EQ(first->key, good_.key);
  EXPECT_EQ(first->client_ca, ca_.certificate());
  EXPECT_EQ(source->Latest(), first);
  WritePair(good_);
  EXPECT_EQ(source->Latest(), first);
  EXPECT_TRUE(log_.empty());
}

TEST_F(TlsSourceTest, SeesAnyOfTheFilesChange) {
  const auto source = Open();
  const Certificate next = ca_.ForServer();
  WritePair(next);
  EXPECT_EQ(source->Latest()->certificate, next.certificate);
  EXPECT_EQ(source->Latest()->key, next.key);
  const CertificateAuthority other("other");
  Write(files_.client_ca, other.certificate());
  EXPECT_EQ(source->Latest()->client_ca, other.certificate());
  EXPECT_EQ(log_.size(), 2u);
}

// In the same tick of the file system's clock, and of the same size.
TEST_F(TlsSourceTest, SeesEveryOfManyQuickChanges) {
  const auto source = Open();
  std::string text = ca_.certificate() + "\n#0";
  for (char digit = '0'; digit <= '9'; ++digit) {
    text.back() = digit;
    Write(files_.client_ca, text);
    EXPECT_EQ(source->Latest()->client_ca, text);
  }
}

// A file whose bytes are changed in its memory: its times tell of the first
// change only, until the kernel writes it back.
class MappedFile {
 public:
  MappedFile(const std::string& path, size_t size) : size_(size) {
    const Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC));
    bytes_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                                     MAP_SHARED, file.get(), 0));
    EXPECT_NE(bytes_, MAP_FAILED);
  }
  ~MappedFile() { munmap(bytes_, size_); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  char& back() { return bytes_[size_ - 1]; }

 private:
  const size_t size_;
  char* bytes_;
};

// Some kernels give every change that somebody could have seen a time of its
// own; others, and network file systems, have clocks of coarse steps.
TEST_F(TlsSourceTest, SeesASecondChangeWithinTheStepOfTheClock) {
  const auto source = Open();
  std::string text = ca_.certificate() + "\n#1";
  std::string second;
  struct stat first {};
  // Long after a change the times are relied on: a test that was held up so
  // long has seen nothing of what it is about, and changes the file anew.
  do {
    text.back() = '1';
    Write(files_.client_ca, text);
    MappedFile file(files_.client_ca, text.size());
    text.back() = file.back() = '2';
    EXPECT_EQ(source->Latest()->client_ca, text);
    ASSERT_EQ(stat(files_.client_ca.c_str(), &first), 0);
    text.back() = file.back() = '3';
    second = source->Latest()->client_ca;
  } while (time(nullptr) > first.st_ctim.tv_sec + 2);
  EXPECT_EQ(second, text);
}

// As Kubernetes and certbot do it.
TEST_F(TlsSourceTest, SeesASymbolicLinkReplaced) {
  const std::string directory = folder_.File("");
  const Certificate next = ca_.ForServer();
  for (const auto& [name, pair] :
       {std::pair{"1", good_}, std::pair{"2", next}}) {
    Write(directory + "cert" + name, pair.certificate);
    Write(directory + "key" + name, pair.key);
  }
  const auto link = [&](const std::string& target, const std::string& path) {
    ASSERT_EQ(symlink(target.c_str(), (path + "~").c_str()), 0);
    ASSERT_EQ(rename((path + "~").c_str(), path.c_str()), 0);
  };
  link("cert1", files_.certificate);
  link("key1", files_.key);
  const auto source = Open();
  EXPECT_EQ(source->Latest()->certificate, good_.certificate);
  link("cert2", files_.certificate);
  link("key2", files_.key);
  EXPECT_EQ(source->Latest()->certificate, next.certificate);
}

TEST_F(TlsSourceTest, KeepsTheOldWhileTheNewIsBroken) {
  const auto source = Open();
  const auto first = source->Latest();
  const Certificate next = ca_.ForServer();
  Write(files_.certificate, next.certificate);
  EXPECT_EQ(source->Latest(), first);
  EXPECT_EQ(source->Latest(), first);
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_NE(log_[0].find("--tls-key " + files_.key + ": does not belong to"),
            std::string::npos)
      << log_[0];
  Write(files_.key, next.key);
  EXPECT_EQ(source->Latest()->key, next.key);
}

TEST_F(TlsSourceTest, LogsEachWayOfBeingBrokenOnce) {
  const auto source = Open();
  const auto first = source->Latest();
  for (const std::string& path :
       {files_.certificate, files_.key, files_.client_ca}) {
    unlink(path.c_str());
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(source->Latest(), first);
  EXPECT_EQ(log_.size(), 1u);
  Write(files_.certificate, "text");
  Write(files_.key, good_.key);
  Write(files_.client_ca, ca_.certificate());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(source->Latest(), first);
  EXPECT_EQ(log_.size(), 2u);
  Write(files_.certificate, "another text");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(source->Latest(), first);
  EXPECT_EQ(log_.size(), 3u);
  // Good again, as it was: no word, but the next break is a new one.
  WritePair(good_);
  EXPECT_EQ(source->Latest(), first);
  EXPECT_EQ(log_.size(), 3u);
  Write(files_.certificate, "another text");
  EXPECT_EQ(source->Latest(), first);
  EXPECT_EQ(log_.size(), 4u);
}

}  // namespace
}  // namespace portreeve::server
