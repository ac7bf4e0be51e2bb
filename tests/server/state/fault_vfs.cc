#include "tests/server/state/fault_vfs.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>

#include "lib/base/check.h"

namespace portreeve::testing {

// What SQLite takes for its file; the real one lies behind it.
struct FaultVfs::File {
  sqlite3_file base;
  FaultVfs* owner;
  std::string* name;

  static File* Of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

namespace {

template <auto method>
struct PassOn;
// Calls a method of the real file.
template <typename... A,
          int (*sqlite3_io_methods::*method)(sqlite3_file*, A...)>
struct PassOn<method> {
  template <typename FileType>
  static int Call(sqlite3_file* file, A... arguments) {
    sqlite3_file* const real = FileType::Of(file)->real();
    return (real->pMethods->*method)(real, arguments...);
  }
};

}  // namespace

FaultVfs::FaultVfs() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
  vfs_.zName = "fault";
  vfs_.pAppData = this;
  vfs_.xOpen = &Open;
  vfs_.xDelete = &Delete;
  PORTREEVE_CHECK(sqlite3_vfs_register(&vfs_, 1) == SQLITE_OK);
}

FaultVfs::~FaultVfs() {
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(real_, 1);
}

void FaultVfs::FailFrom(int first, int last, Fault fault) {
  const MutexLock lock(mutex_);
  operations_ = 0;
  syncs_ = 0;
  first_ = first;
  last_ = last;
  fault_ = fault;
}

void FaultVfs::At(int n, std::function<void()> f) {
  const MutexLock lock(mutex_);
  operations_ = 0;
  syncs_ = 0;
  call_at_ = n;
  call_ = std::move(f);
}

int FaultVfs::operations() const {
  const MutexLock lock(mutex_);
  return operations_;
}

int FaultVfs::syncs() const {
  const MutexLock lock(mutex_);
  return syncs_;
}

FaultVfs::Files FaultVfs::AfterPowerCut(uint32_t seed) const {
  const MutexLock lock(mutex_);
  std::mt19937 random(seed);
  Files files;
  for (const auto& [name, on_disk] : files_) {
    std::string bytes = on_disk.durable;
    for (const Change& change : on_disk.changes) {
      if (seed == kAll || (seed != 0 && random() % 2 == 0)) {
        Apply(change, bytes);
      }
    }
    files.emplace(name, std::move(bytes));
  }
  return files;
}

void FaultVfs::Know(const std::string& path) {
  const MutexLock lock(mutex_);
  if (files_.count(path) > 0) return;
  // Before SQLite has a lock, which closing a descriptor would drop.
  std::ifstream there(path, std::ios::binary);
  files_[path].durable = std::string(std::istreambuf_iterator<char>(there), {});
}

void FaultVfs::CallIfDue() {
  std::function<void()> call;
  {
    const MutexLock lock(mutex_);
    if (operations_ + 1 == call_at_) call = call_;
  }
  if (call) call();
}

bool FaultVfs::CountAndAsk(bool is_write) {
  ++operations_;
  return operations_ >= first_ && operations_ <= last_ &&
         (is_write || fault_ == Fault::kIo);
}

void FaultVfs::Apply(const Change& change, std::string& bytes) {
  const auto at = static_cast<size_t>(change.at);
  if (change.is_truncation) {
    if (at < bytes.size()) bytes.resize(at);
    return;
  }
  if (bytes.size() < at + change.bytes.size()) {
    bytes.resize(at + change.bytes.size());
  }
  bytes.replace(at, change.bytes.size(), change.bytes);
}

int FaultVfs::Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file,
                   int flags, int* out_flags) {
  auto* const owner = static_cast<FaultVfs*>(vfs->pAppData);
  File* const self = File::Of(file);
  self->base.pMethods = nullptr;
  owner->CallIfDue();
  {
    const MutexLock lock(owner->mutex_);
    if (owner->CountAndAsk(false)) return SQLITE_CANTOPEN;
  }
  owner->Know(name);
  const int code =
      owner->real_->xOpen(owner->real_, name, self->real(), flags, out_flags);
  if (code != SQLITE_OK) return code;
  static sqlite3_io_methods methods = [] {
    sqlite3_io_methods m{};
    m.iVersion = 2;
    m.xClose = &Close;
    m.xWrite = &Write;
    m.xTruncate = &Truncate;
    m.xSync = &Sync;
    m.xRead = &PassOn<&sqlite3_io_methods::xRead>::Call<File>;
    m.xFileSize = &PassOn<&sqlite3_io_methods::xFileSize>::Call<File>;
    m.xLock = &PassOn<&sqlite3_io_methods::xLock>::Call<File>;
    m.xUnlock = &PassOn<&sqlite3_io_methods::xUnlock>::Call<File>;
    m.xCheckReservedLock =
        &PassOn<&sqlite3_io_methods::xCheckReservedLock>::Call<File>;
    m.xFileControl = &PassOn<&sqlite3_io_methods::xFileControl>::Call<File>;
    m.xSectorSize = &PassOn<&sqlite3_io_methods::xSectorSize>::Call<File>;
    m.xDeviceCharacteristics =
        &PassOn<&sqlite3_io_methods::xDeviceCharacteristics>::Call<File>;
    m.xShmMap = &PassOn<&sqlite3_io_methods::xShmMap>::Call<File>;
    m.xShmLock = &PassOn<&sqlite3_io_methods::xShmLock>::Call<File>;
    m.xShmBarrier = [](sqlite3_file* f) {
      sqlite3_file* const real = File::Of(f)->real();
      real->pMethods->xShmBarrier(real);
    };
    m.xShmUnmap = &PassOn<&sqlite3_io_methods::xShmUnmap>::Call<File>;
    return m;
  }();
  self->base.pMethods = &methods;
  self->owner = owner;
  self->name = new std::string(name);
  return SQLITE_OK;
}

int FaultVfs::Close(sqlite3_file* file) {
  File* const self = File::Of(file);
  delete self->name;
  return self->real()->pMethods->xClose(self->real());
}

int FaultVfs::Delete(sqlite3_vfs* vfs, const char* name, int) {
  auto* const owner = static_cast<FaultVfs*>(vfs->pAppData);
  owner->CallIfDue();
  const MutexLock lock(owner->mutex_);
  if (owner->CountAndAsk(false)) return SQLITE_IOERR_DELETE;
  owner->files_.erase(name);
  return owner->real_->xDelete(owner->real_, name, 0);
}

int FaultVfs::Write(sqlite3_file* file, const void* bytes, int size,
                    sqlite3_int64 at) {
  File* const self = File::Of(file);
  FaultVfs* const owner = self->owner;
  owner->CallIfDue();
  const MutexLock lock(owner->mutex_);
  const bool fails = owner->CountAndAsk(true);
  if (fails) size /= 2;
  if (size > 0) {
    owner->files_[*self->name].changes.push_back(
        {at, std::string(static_cast<const char*>(bytes), size)});
    sqlite3_file* const real = self->real();
    const int code = real->pMethods->xWrite(real, bytes, size, at);
    if (code != SQLITE_OK) return code;
  }
  if (!fails) return SQLITE_OK;
  return owner->fault_ == Fault::kFull ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

int FaultVfs::Truncate(sqlite3_file* file, sqlite3_int64 size) {
  File* const self = File::Of(file);
  FaultVfs* const owner = self->owner;
  owner->CallIfDue();
  const MutexLock lock(owner->mutex_);
  if (owner->CountAndAsk(false)) return SQLITE_IOERR_TRUNCATE;
  owner->files_[*self->name].changes.push_back({size, "", true});
  sqlite3_file* const real = self->real();
  return real->pMethods->xTruncate(real, size);
}

int FaultVfs::Sync(sqlite3_file* file, int) {
  File* const self = File::Of(file);
  FaultVfs* const owner = self->owner;
  owner->CallIfDue();
  const MutexLock lock(owner->mutex_);
  ++owner->syncs_;
  const bool fails = owner->CountAndAsk(false);
  OnDisk& on_disk = owner->files_[*self->name];
  for (const Change& change : on_disk.changes) {
    if (!fails) Apply(change, on_disk.durable);
  }
  on_disk.changes.clear();
  return fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

}  // namespace portreeve::testing
